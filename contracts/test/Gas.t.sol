// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IConsentRegistry} from "../src/interfaces/IConsentRegistry.sol";
import {BaseTest} from "./helpers/BaseTest.sol";

/// @notice What a relayer pays, as whole transactions: 21,000, calldata (16 and 4 a byte), cold storage, execution.
contract GasTest is BaseTest {
    uint256 private constant BATCH = 100;

    function _transaction(bytes memory data) private returns (uint256 gas) {
        vm.cool(address(consents));
        vm.cool(address(did));
        address registry = address(consents);
        gas = gasleft();
        (bool done,) = registry.call(data);
        gas -= gasleft();
        assertTrue(done);
        gas += 21_000;
        for (uint256 i; i < data.length; ++i) {
            gas += data[i] == 0 ? 4 : 16;
        }
    }

    function _single(Actor memory who) private returns (uint256 granting, uint256 revoking) {
        bytes memory signature = _grantSig(who, COMMITMENT);
        granting = _transaction(abi.encodeCall(IConsentRegistry.grant, (who.id, COMMITMENT, signature)));
        signature = _revokeSig(who, who.id, COMMITMENT);
        revoking = _transaction(abi.encodeCall(IConsentRegistry.revoke, (who.id, COMMITMENT, signature)));
    }

    /// @dev One hundred people, one consent each: the dearest batch.
    function _batch(bool passkeys) private returns (uint256 granting, uint256 revoking) {
        IConsentRegistry.Signed[] memory grants = new IConsentRegistry.Signed[](BATCH);
        IConsentRegistry.Signed[] memory revocations = new IConsentRegistry.Signed[](BATCH);
        for (uint256 i; i < BATCH; ++i) {
            string memory name = vm.toString(i);
            Actor memory who = passkeys ? _passkey(name) : _wallet(name);
            bytes32 c = keccak256(abi.encode(i));
            grants[i] = IConsentRegistry.Signed(who.id, c, _grantSig(who, c));
            revocations[i] = IConsentRegistry.Signed(who.id, c, _revokeSig(who, who.id, c));
        }
        granting = _transaction(abi.encodeCall(IConsentRegistry.grantBatch, (grants))) / BATCH;
        revoking = _transaction(abi.encodeCall(IConsentRegistry.revokeBatch, (revocations))) / BATCH;
    }

    function test_RevokingWithAWalletIsNeverDearerThanGranting() public {
        (uint256 granting, uint256 revoking) = _single(alice);
        emit log_named_uint("wallet: grant", granting);
        emit log_named_uint("wallet: revoke", revoking);
        assertLe(revoking, granting);
        assertLt(granting, 75_000);
    }

    function test_RevokingWithAPasskeyIsHardlyDearerThanGranting() public {
        (uint256 granting, uint256 revoking) = _single(dora);
        emit log_named_uint("passkey: grant", granting);
        emit log_named_uint("passkey: revoke", revoking);
        // P-256 in Solidity takes a few thousand gas more or less, by the digits of the signature.
        assertLe(revoking, granting + 10_000);
        assertLt(granting, 400_000);
    }

    function test_ABatchOfOneHundredWalletsIsCheaperForEach() public {
        (uint256 granting, uint256 revoking) = _batch(false);
        emit log_named_uint("wallet: grant in a batch of 100", granting);
        emit log_named_uint("wallet: revoke in a batch of 100", revoking);
        assertLe(revoking, granting);
        assertLt(granting, 55_000);
    }

    function test_ABatchOfOneHundredPasskeysFitsABlock() public {
        (uint256 granting, uint256 revoking) = _batch(true);
        emit log_named_uint("passkey: grant in a batch of 100", granting);
        emit log_named_uint("passkey: revoke in a batch of 100", revoking);
        assertLe(revoking, granting + 10_000);
        assertLt(granting * BATCH, 36_000_000);
    }
}
