// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IConsentRegistry} from "../src/interfaces/IConsentRegistry.sol";
import {BaseTest} from "./helpers/BaseTest.sol";
import {BurningWallet, HugeWallet, MAGIC, RudeWallet} from "./helpers/Wallets.sol";

contract ConsentBatchTest is BaseTest {
    function _commitment(uint256 i) private pure returns (bytes32) {
        return keccak256(abi.encode("item", i));
    }

    /// @dev Wallets and passkeys in turn, item `i` for commitment `i`.
    function _items(uint256 count, bool grants) private view returns (IConsentRegistry.Signed[] memory items) {
        items = new IConsentRegistry.Signed[](count);
        for (uint256 i; i < count; ++i) {
            Actor memory by = i % 2 == 0 ? alice : dora;
            bytes32 c = _commitment(i);
            items[i] = IConsentRegistry.Signed(by.id, c, grants ? _grantSig(by, c) : _revokeSig(by, by.id, c));
        }
    }

    function test_ABatchGrantsAllItsItems() public {
        consents.grantBatch(_items(6, true));
        for (uint256 i; i < 6; ++i) {
            _assertStanding(i % 2 == 0 ? alice.id : dora.id, _commitment(i), _now(), 0);
        }
    }

    function test_ABatchRevokesAllItsItemsGrantedOrNot() public {
        consents.grantBatch(_items(3, true));
        consents.revokeBatch(_items(6, false));
        for (uint256 i; i < 6; ++i) {
            _assertStanding(i % 2 == 0 ? alice.id : dora.id, _commitment(i), i < 3 ? _now() : 0, _now());
        }
    }

    function test_AnEmptyBatchDoesNothing() public {
        vm.recordLogs();
        consents.grantBatch(new IConsentRegistry.Signed[](0));
        consents.revokeBatch(new IConsentRegistry.Signed[](0));
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_ABadlySignedItemIsNamedAndTheOthersGoOn() public {
        for (uint256 bad; bad < 3; ++bad) {
            uint256 fresh = vm.snapshotState();
            IConsentRegistry.Signed[] memory items = _items(3, true);
            items[bad].signature = _grantSig(mallory, _commitment(bad));
            vm.expectEmit(address(consents));
            emit IConsentRegistry.ItemRefused(items[bad].subject, _commitment(bad));
            consents.grantBatch(items);
            for (uint256 i; i < 3; ++i) {
                _assertStanding(items[i].subject, _commitment(i), i == bad ? 0 : _now(), 0);
            }
            vm.revertToState(fresh);
        }
    }

    function test_ABadlySignedRevocationIsNamedAndTheOthersGoOn() public {
        IConsentRegistry.Signed[] memory items = _items(3, false);
        items[1].signature = items[0].signature;
        vm.expectEmit(address(consents));
        emit IConsentRegistry.ItemRefused(items[1].subject, _commitment(1));
        consents.revokeBatch(items);
        _assertStanding(alice.id, _commitment(0), 0, _now());
        _assertStanding(dora.id, _commitment(1), 0, 0);
        _assertStanding(alice.id, _commitment(2), 0, _now());
    }

    function test_ItemsDoneBeforeAreSkippedWithoutAWord() public {
        IConsentRegistry.Signed[] memory items = _items(3, true);
        consents.grant(items[0].subject, items[0].commitment, items[0].signature);
        _revoke(dora, _commitment(1));
        uint48 first = _now();
        vm.warp(first + 10);
        vm.recordLogs();
        consents.grantBatch(items);
        assertEq(vm.getRecordedLogs().length, 1);
        _assertStanding(alice.id, _commitment(0), first, 0);
        _assertStanding(dora.id, _commitment(1), 0, first);
        _assertStanding(alice.id, _commitment(2), first + 10, 0);
        consents.grantBatch(items);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_OneItemTwiceInABatchCountsOnce() public {
        IConsentRegistry.Signed[] memory items = _items(2, true);
        items[1] = items[0];
        vm.recordLogs();
        consents.grantBatch(items);
        assertEq(vm.getRecordedLogs().length, 1);
    }

    function test_NoContractWalletStopsABatch() public {
        IConsentRegistry.Signed[] memory items = _items(4, true);
        address burning = address(new BurningWallet());
        address huge = address(new HugeWallet(MAGIC | bytes32(uint256(1))));
        address rude = address(new RudeWallet(true));
        items[0] = IConsentRegistry.Signed(burning, COMMITMENT, _contractSignature(burning, ""));
        items[1] = IConsentRegistry.Signed(huge, COMMITMENT, _contractSignature(huge, ""));
        items[2] = IConsentRegistry.Signed(rude, COMMITMENT, _contractSignature(rude, ""));
        consents.grantBatch{gas: 2_000_000}(items);
        _assertStanding(burning, COMMITMENT, 0, 0);
        _assertStanding(huge, COMMITMENT, 0, 0);
        _assertStanding(rude, COMMITMENT, 0, 0);
        _assertStanding(dora.id, _commitment(3), _now(), 0);
    }

    /// @dev 65,535 is written where a passkey signature says how long its authenticatorData is.
    function test_NoLyingLengthStopsABatch() public {
        IConsentRegistry.Signed[] memory items = _items(3, true);
        bytes memory signature = _sign(dora, COMMITMENT);
        (signature[129], signature[130]) = (0xff, 0xff);
        items[1].signature = signature;
        consents.grantBatch(items);
        _assertStanding(alice.id, _commitment(0), _now(), 0);
        _assertStanding(dora.id, _commitment(1), 0, 0);
        _assertStanding(alice.id, _commitment(2), _now(), 0);
    }

    function testFuzz_NoSignatureStopsABatch(uint8 kind, bytes calldata body) public {
        IConsentRegistry.Signed[] memory items = _items(2, true);
        items[1].signature = abi.encodePacked(kind % 4, body);
        consents.grantBatch(items);
        _assertStanding(alice.id, _commitment(0), _now(), 0);
        _assertStanding(dora.id, _commitment(1), 0, 0);
    }
}
