// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {StudyRegistry} from "../src/StudyRegistry.sol";
import {IStudyRegistry} from "../src/interfaces/IStudyRegistry.sol";
import "../src/libraries/TypeHashes.sol" as Types;
import {StudyTest} from "./helpers/StudyTest.sol";

contract StudyBoardTest is StudyTest {
    function _changeHash(address[] memory list, uint8 quorum) private view returns (bytes32) {
        bytes32 hash = keccak256(abi.encodePacked(list));
        return keccak256(abi.encode(Types.CHANGE_BOARD_TYPEHASH, board, hash, quorum, _boardNonce()));
    }

    function _refused(IStudyRegistry.Vote[] memory votes, bytes memory why) private {
        vm.expectRevert(why);
        studies.accredit(board, runner.id, _now() + 1 days, votes);
        assertFalse(studies.isAccredited(board, runner.id));
    }

    function test_ABoardIsNamedByItsContentsAndCannotBeSquatted() public {
        assertEq(board, keccak256(abi.encode(_addresses(), uint8(2), bytes32("salt"))));
        (address[] memory list, uint8 quorum, uint256 nonce) = studies.boardOf(board);
        assertEq(list, _addresses());
        assertEq(quorum, 2);
        assertEq(nonce, 0);
        vm.recordLogs();
        vm.prank(mallory.id);
        assertEq(studies.createBoard(_addresses(), 2, "salt"), board);
        assertEq(vm.getRecordedLogs().length, 0);
        assertTrue(studies.createBoard(_addresses(), 3, "salt") != board);
        assertTrue(studies.createBoard(_addresses(), 2, "pepper") != board);
    }

    function test_ABoardsQuorumIsOneToAll() public {
        vm.expectRevert(IStudyRegistry.BadQuorum.selector);
        studies.createBoard(_addresses(), 0, "");
        vm.expectRevert(IStudyRegistry.BadQuorum.selector);
        studies.createBoard(_addresses(), 4, "");
        vm.expectRevert(IStudyRegistry.BadQuorum.selector);
        studies.createBoard(new address[](0), 0, "");
    }

    function test_ABoardsMembersAreDistinctAscendingAndSomebody() public {
        address[] memory list = _addresses();
        list[1] = list[0];
        vm.expectRevert(IStudyRegistry.MembersNotAscending.selector);
        studies.createBoard(list, 2, "");
        list = _addresses();
        (list[0], list[1]) = (list[1], list[0]);
        vm.expectRevert(IStudyRegistry.MembersNotAscending.selector);
        studies.createBoard(list, 2, "");
        list = _addresses();
        list[0] = address(0);
        vm.expectRevert(IStudyRegistry.MembersNotAscending.selector);
        studies.createBoard(list, 2, "");
    }

    function test_AnyQuorumOfDistinctMembersDecides() public {
        bytes32 hash = _accreditHash(runner.id, _now() + 1);
        studies.accredit(board, runner.id, _now() + 1, _votesOf(hash, 1, 2));
        assertTrue(studies.isAccredited(board, runner.id));
        hash = _accreditHash(runner.id, _now() + 2);
        studies.accredit(board, runner.id, _now() + 2, _votesOf(hash, 0, 3));
        assertEq(_boardNonce(), 2);
    }

    function test_OneMemberTwiceIsNoQuorum() public {
        IStudyRegistry.Vote[] memory votes = _votes(_accreditHash(runner.id, _now() + 1 days));
        votes[1] = votes[0];
        _refused(votes, abi.encodeWithSelector(IStudyRegistry.VotesNotAscending.selector));
    }

    function test_TooFewVotesAreRefused() public {
        bytes32 hash = _accreditHash(runner.id, _now() + 1 days);
        _refused(_votesOf(hash, 0, 1), abi.encodeWithSelector(IStudyRegistry.TooFewVotes.selector, 2));
        _refused(_votesOf(hash, 0, 0), abi.encodeWithSelector(IStudyRegistry.TooFewVotes.selector, 2));
    }

    function test_UnsortedVotesAreRefused() public {
        IStudyRegistry.Vote[] memory votes = _votes(_accreditHash(runner.id, _now() + 1 days));
        (votes[0], votes[1]) = (votes[1], votes[0]);
        _refused(votes, abi.encodeWithSelector(IStudyRegistry.VotesNotAscending.selector));
    }

    function test_AStrangersVoteSpoilsTheQuorum() public {
        bytes32 hash = _accreditHash(runner.id, _now() + 1 days);
        IStudyRegistry.Vote[] memory votes = _votes(hash);
        votes[1] = IStudyRegistry.Vote(mallory.id, _studySign(mallory, hash));
        if (votes[0].member > votes[1].member) (votes[0], votes[1]) = (votes[1], votes[0]);
        _refused(votes, abi.encodeWithSelector(IStudyRegistry.NotAMember.selector, mallory.id));
    }

    function test_AVoteInAMembersNameBySomeoneElseIsRefused() public {
        bytes32 hash = _accreditHash(runner.id, _now() + 1 days);
        IStudyRegistry.Vote[] memory votes = _votes(hash);
        votes[1].signature = _studySign(mallory, hash);
        _refused(votes, abi.encodeWithSelector(IStudyRegistry.BadSignature.selector));
        votes[1].signature = votes[0].signature;
        _refused(votes, abi.encodeWithSelector(IStudyRegistry.BadSignature.selector));
    }

    function test_AMembersDelegateDoesNotVote() public {
        _addDelegate(members[0], "consent", mallory.id);
        _addDelegate(members[0], "assertion", mallory.id);
        bytes32 hash = _accreditHash(runner.id, _now() + 1 days);
        IStudyRegistry.Vote[] memory votes = _votes(hash);
        votes[0].signature = _studySign(mallory, hash);
        _refused(votes, abi.encodeWithSelector(IStudyRegistry.BadSignature.selector));
    }

    function test_VotesCountOnce() public {
        IStudyRegistry.Vote[] memory votes = _votes(_accreditHash(runner.id, _now() + 1 days));
        studies.accredit(board, runner.id, _now() + 1 days, votes);
        _accredit(runner.id, 0);
        _refused(votes, abi.encodeWithSelector(IStudyRegistry.BadSignature.selector));
    }

    function test_VotesOnAnotherChainOrDeploymentAreRefused() public {
        IStudyRegistry.Vote[] memory votes = _votes(_accreditHash(runner.id, _now() + 1 days));
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        _refused(votes, abi.encodeWithSelector(IStudyRegistry.BadSignature.selector));
        vm.chainId(chain);
        studies = new StudyRegistry(did);
        studies.createBoard(_addresses(), 2, "salt");
        _refused(votes, abi.encodeWithSelector(IStudyRegistry.BadSignature.selector));
    }

    function test_AnUnknownBoardDecidesNothing() public {
        vm.expectRevert(IStudyRegistry.UnknownBoard.selector);
        studies.accredit("no board", runner.id, 1, new IStudyRegistry.Vote[](0));
        vm.expectRevert(IStudyRegistry.UnknownBoard.selector);
        studies.changeBoard("no board", _addresses(), 1, new IStudyRegistry.Vote[](0));
    }

    function test_ABoardChangesItselfAndKeepsItsName() public {
        address[] memory list = new address[](1);
        list[0] = members[2].id;
        studies.changeBoard(board, list, 1, _votes(_changeHash(list, 1)));
        bytes32 hash = _accreditHash(runner.id, _now() + 1 days);
        _refused(_votes(hash), abi.encodeWithSelector(IStudyRegistry.NotAMember.selector, members[0].id));
        studies.accredit(board, runner.id, _now() + 1 days, _votesOf(hash, 2, 1));
        assertEq(studies.createBoard(_addresses(), 2, "salt"), board, "its first contents do not bring it back");
        (address[] memory now_, uint8 quorum,) = studies.boardOf(board);
        assertEq(now_, list);
        assertEq(quorum, 1);
    }

    function test_ABoardCannotChangeIntoABadOne() public {
        address[] memory list = _addresses();
        IStudyRegistry.Vote[] memory votes = _votes(_changeHash(list, 4));
        vm.expectRevert(IStudyRegistry.BadQuorum.selector);
        studies.changeBoard(board, list, 4, votes);
        (list[0], list[1]) = (list[1], list[0]);
        votes = _votes(_changeHash(list, 2));
        vm.expectRevert(IStudyRegistry.MembersNotAscending.selector);
        studies.changeBoard(board, list, 2, votes);
    }

    function test_VotesForOneListMakeNoOther() public {
        IStudyRegistry.Vote[] memory votes = _votes(_changeHash(_addresses(), 3));
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.changeBoard(board, _addresses(), 1, votes);
    }

    function test_ARunnerIsAccreditedUntilItsTime() public {
        uint48 until = _now() + 100;
        _accredit(runner.id, until);
        vm.warp(until - 1);
        assertTrue(studies.isAccredited(board, runner.id));
        vm.warp(until);
        assertFalse(studies.isAccredited(board, runner.id));
        assertFalse(studies.isAccredited("another board", runner.id));
    }

    function test_ATimeInThePastEndsAnAccreditation() public {
        _accredit(runner.id, _now() + 100);
        _accredit(runner.id, 1);
        assertFalse(studies.isAccredited(board, runner.id));
    }
}
