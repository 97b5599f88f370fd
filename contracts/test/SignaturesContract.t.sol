// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {BaseTest} from "./helpers/BaseTest.sol";
import {BurningWallet, GoodWallet, HugeWallet, MAGIC, RudeWallet} from "./helpers/Wallets.sol";

contract SignaturesContractTest is BaseTest {
    bytes32 private constant DIGEST = keccak256("digest");

    function _accepts(address who, address asked, bytes memory shown) private view returns (bool) {
        return did.isSignedBy(who, 0, DIGEST, _contractSignature(asked, shown));
    }

    function test_AContractWalletSignsForItsOwnAddressOnly() public {
        address wallet = address(new GoodWallet(DIGEST));
        assertTrue(_accepts(wallet, wallet, "sesame"));
        assertFalse(_accepts(alice.id, wallet, "sesame"));
        assertFalse(_accepts(address(0), wallet, "sesame"));
    }

    function test_TheWalletDecides() public {
        address wallet = address(new GoodWallet(DIGEST));
        assertFalse(_accepts(wallet, wallet, "open"));
        assertFalse(_accepts(wallet, wallet, ""));
        assertFalse(did.isSignedBy(wallet, 0, keccak256("another"), _contractSignature(wallet, "sesame")));
    }

    function test_AContractWalletCanBeADelegate() public {
        address wallet = address(new GoodWallet(DIGEST));
        _addDelegate(alice, "consent", wallet);
        assertTrue(did.isSignedBy(alice.id, 1, DIGEST, _contractSignature(wallet, "sesame")));
        assertFalse(did.isSignedBy(alice.id, 2, DIGEST, _contractSignature(wallet, "sesame")));
    }

    function test_NobodyIsGuessedFromCodeSize() public {
        address wallet = address(new GoodWallet(DIGEST));
        assertFalse(did.isSignedBy(wallet, 0, DIGEST, _sign(alice, DIGEST)));
        assertFalse(_accepts(alice.id, alice.id, _sign(alice, DIGEST)), "an address without code answers nothing");
    }

    function test_AWalletThatBurnsGasIsRefusedAndCostsLittle() public {
        address wallet = address(new BurningWallet());
        bytes memory signature = _contractSignature(wallet, "sesame");
        uint256 before = gasleft();
        assertFalse(did.isSignedBy(wallet, 0, DIGEST, signature));
        assertLt(before - gasleft(), 290_000);
    }

    function test_AHugeAnswerCostsNoMoreThanTheCap() public {
        address agreeing = address(new HugeWallet(MAGIC));
        bytes memory signature = _contractSignature(agreeing, "");
        uint256 before = gasleft();
        assertTrue(did.isSignedBy(agreeing, 0, DIGEST, signature));
        assertLt(before - gasleft(), 290_000);
    }

    function test_AnAnswerThatOnlyBeginsWithTheMagicValueIsRefused() public {
        address wallet = address(new HugeWallet(MAGIC | bytes32(uint256(1))));
        assertFalse(_accepts(wallet, wallet, ""));
        wallet = address(new HugeWallet(bytes32(uint256(1))));
        assertFalse(_accepts(wallet, wallet, ""));
    }

    function test_AShortAnswerOrARevertWithTheMagicValueIsRefused() public {
        address wallet = address(new RudeWallet(false));
        assertFalse(_accepts(wallet, wallet, ""));
        wallet = address(new RudeWallet(true));
        assertFalse(_accepts(wallet, wallet, ""));
    }

    function test_NoPrecompileIsAWallet() public view {
        for (uint160 i; i < 20; ++i) {
            assertFalse(_accepts(address(i), address(i), "sesame"));
        }
        assertFalse(_accepts(address(0x100), address(0x100), "sesame"));
    }

    function test_AnAddressCutShortIsRefused() public view {
        bytes memory whole = _contractSignature(alice.id, "");
        for (uint256 length; length < whole.length; ++length) {
            bytes memory part = new bytes(length);
            for (uint256 i; i < length; ++i) {
                part[i] = whole[i];
            }
            assertFalse(did.isSignedBy(alice.id, 0, DIGEST, part));
        }
    }
}
